"""The apps: all of ipywidgets, anywidget and traitlets.

An app is a state that computes (`settings`, `link`, `runner`), controls that are bound to it (`binding`,
`widgets`, `picture_chooser`, `picture_sources`) and pictures (`canvas`, `clickable_image`); `app` joins them.
Read `app` and `settings` first, then `explorer`, `inside`, `thresholds` and `training_chart`.
"""
