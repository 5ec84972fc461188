"""``sedtf predict`` of many recordings: what is done, by whom, and what is made of it all."""
