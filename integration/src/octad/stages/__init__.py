"""The stages of the main job, one module each; `octad.main_job` puts them in order."""
