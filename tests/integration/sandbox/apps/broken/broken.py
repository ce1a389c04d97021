raise RuntimeError("the app's module does not like to be imported")
