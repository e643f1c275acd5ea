"""What a run leaves behind: answers, events, annotated video, speech, report."""
