"""What of the forest may be searched: LightGBM's own names, and whether each takes whole numbers alone.

Aliases are left out, so that no parameter is said twice; what makes the forest repeatable or obey the
declared directions is fixed in `models/forest.py`.
"""

SEARCHABLE = {
    "alpha": False,  # Huber's bound, in log price
    "learning_rate": False,
    "num_leaves": True,
    "max_depth": True,
    "min_data_in_leaf": True,
    "min_sum_hessian_in_leaf": False,
    "min_gain_to_split": False,
    "feature_fraction": False,
    "bagging_fraction": False,
    "lambda_l1": False,
    "lambda_l2": False,
    "cat_smooth": False,
    "cat_l2": False,
    "path_smooth": False,
}
