"""Results on their way out: a row or a resource at a time, so that memory is flat however many there are."""
