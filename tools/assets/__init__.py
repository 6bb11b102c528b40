"""How `fml_tf/template/assets` is made."""
