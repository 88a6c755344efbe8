"""What draws the pictures of the documents and builds their site."""
