"""Speech to text and text to speech, by models of OpenAI-compatible providers."""
