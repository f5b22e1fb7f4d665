"""Parts of the extxyz reader: frames in a text, their headers, and the columns of their atoms."""
