"""The edge: one outside thing each. Foreign exceptions stop here and become ours."""
