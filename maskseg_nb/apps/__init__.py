"""The apps: all of ipywidgets, anywidget and traitlets.

An app is a state that computes (`settings`, `link`, `runner`, `history`, `kept`), controls bound to it
(`binding`, `widgets`, `picture_chooser`, `picture_sources`, `app_bar`), a picture (`picture_view`) and a
table (`table_view`); `app` joins them. The browser's side of each is the .js file beside it.
Read `app` and `settings` first, then `explorer`, `inside`, `thresholds`, `compare` and `training_chart`.
"""
