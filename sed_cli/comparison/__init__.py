"""Reading runs, joining them into one table, and plotting them."""
