"""What any program needs: files, locks, processes, text."""
