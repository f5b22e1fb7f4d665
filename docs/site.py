"""Hooks of mkdocs: pages made from files of the repository's root, and links that lead out of `docs/`."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from raysweep.core.points import POINT_SCHEMA

ROOT = Path(__file__).parents[1]
FROM_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
COLUMNS = "<!-- table: the columns of a point -->"
_LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)#]+)(#[^)]*)?(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages whose text stands in the root."""
    for name, page in FROM_ROOT.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at pages of the site where the file is one, and at the repository where it is not."""
    folder = ROOT if page.file.src_uri in FROM_ROOT.values() else ROOT / "docs"

    def target(link: re.Match[str]) -> str:
        path = (folder / link[1]).resolve().relative_to(ROOT)
        if str(path) in FROM_ROOT:
            return FROM_ROOT[str(path)] + (link[2] or "")
        if path.parts[0] == "docs" and (ROOT / path).is_file():
            return "/".join(path.parts[1:]) + (link[2] or "")
        if not (ROOT / path).exists():
            return link[0]  # mkdocs itself complains of it
        return f"{config.repo_url}/{'tree' if (ROOT / path).is_dir() else 'blob'}/main/{path}{link[2] or ''}"

    return _LINK.sub(target, markdown).replace(COLUMNS, _columns())


def _columns() -> str:
    """A table of the columns of a point, from their one declaration."""
    said = [(field, {key.decode(): text.decode() for key, text in field.metadata.items()}) for field in POINT_SCHEMA]
    rows = [f"| `{field.name}` | {field.type} | {of['unit']} | {of['meaning']} |" for field, of in said]
    return "\n".join(["| column | type | unit | meaning |", "|---|---|---|---|", *rows])
