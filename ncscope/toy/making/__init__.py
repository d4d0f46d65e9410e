"""How the toy CLIP was made and looked at; nothing here runs in daily use."""
