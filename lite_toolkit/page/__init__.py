"""One static page of HTML from saved results."""
