"""Extensions: what the API had beyond its core when that was still told by names. Clients still ask."""
