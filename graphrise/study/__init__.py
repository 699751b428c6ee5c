"""`graphrise study`: runs by seeds, resumable and side by side, into tables with paired tests."""
