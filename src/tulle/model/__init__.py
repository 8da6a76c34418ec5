"""Resources: what users declare, as frozen types; how it is parsed, validated and indexed. Pure: no input or output."""
