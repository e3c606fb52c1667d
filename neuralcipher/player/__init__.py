"""The browser player: one page that opens a bundle by itself, and the server of `ncipher view`."""
