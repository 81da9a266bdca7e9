"""Questions that no paper asks: lifecycle and curvature under low-rank decay, decay schedules."""
