"""How the schema came to be, a revision at a time. Each is run once, in order, when a database is opened."""
