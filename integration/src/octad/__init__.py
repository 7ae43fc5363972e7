"""A language model from raw text: one command from a corpus to an evaluated model.

    octad quickstart                       # the main job, on the text that every machine has
    octad run RECIPE.toml --set a.b=c      # any recipe; `octad run RUN` continues a run

`octad.recipe` says what can be asked, `octad.main_job` names the stages, `octad.pipeline` runs them, `octad.training`
is the loop that all training stages share, and `octad.evaluation` measures the result.
"""
