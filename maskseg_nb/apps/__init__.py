"""The apps: all of ipywidgets, anywidget and traitlets.

Read `app`, `settings` and `explorer` first. What all apps are made of: `picture_app`, `runner`, `binding`,
`picture_chooser`, `picture_sources`, `canvas`, `clickable_image`, `widgets`. Then `inside`,
`thresholds` and `training_chart`.
"""
