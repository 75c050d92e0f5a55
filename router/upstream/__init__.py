"""The way to the providers: the project's own HTTP/1.1 client, and the in-process mock behind the same seam."""
