"""Files that are written whole or not at all, retries, temporary folders, proxies."""
