"""Writes sklearn.json: what scikit-learn gives on iris, wine and diabetes.

    python3 -m venv ~/.cache/om-sklearn
    ~/.cache/om-sklearn/bin/pip install scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
    ~/.cache/om-sklearn/bin/python tests/reference/sklearn_reference.py

Iterative solvers are run to convergence, so that the numbers are those of the problem
and not of where a solver happens to stop.
"""

import json
import pathlib
import warnings

import numpy as np
import pandas as pd
import scipy
import sklearn
from sklearn import linear_model as lm
from sklearn import metrics as m
from sklearn import preprocessing as pp
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

warnings.filterwarnings("error", category=sklearn.exceptions.ConvergenceWarning)
here = pathlib.Path(__file__).parent
data = here.parent / "data"
frames = {name: pd.read_csv(data / f"{name}.csv") for name in ("iris", "wine", "diabetes")}
targets = {"iris": "species", "wine": "class", "diabetes": "progression"}


def table(name, columns=None):
    frame = frames[name]
    x = frame.drop(columns=targets[name])
    return (x if columns is None else x[columns]), frame[targets[name]]


def rows(values):
    """Every seventh row, enough to tell models apart."""
    return np.asarray(values, dtype=object if np.asarray(values).dtype.kind in "OU" else None)[::7].tolist()


cases = []


def case(spec, params, name, model, columns=None, binary=False, tolerance=1e-6, learned=True):
    x, y = table(name, columns)
    if binary:
        keep = y != sorted(y.unique())[2]
        x, y = x[keep], y[keep]
    model.fit(x, y)
    last = model[-1] if hasattr(model, "steps") else model
    out = {
        "spec": spec, "params": params, "data": name, "columns": columns, "binary": binary,
        "tolerance": tolerance,
    }
    if hasattr(last, "predict"):
        out["predict"] = rows(model.predict(x))
        # R² for every regressor; scikit-learn's own score of the Tweedie family is D².
        regressor = sklearn.base.is_regressor(last)
        out["score"] = m.r2_score(y, model.predict(x)) if regressor else model.score(x, y)
    if hasattr(last, "predict_proba"):
        out["predict_proba"] = rows(model.predict_proba(x))
    if hasattr(last, "decision_function"):
        decision = model.decision_function(x)
        out["decision_function"] = rows(decision.reshape(len(x), -1))
    if hasattr(last, "transform") and not hasattr(last, "predict"):
        out["transform"] = rows(np.asarray(model.transform(x)))
    if learned and hasattr(last, "coef_"):
        out["coefficients"] = np.atleast_2d(last.coef_).tolist()
        out["intercepts"] = np.atleast_1d(last.intercept_).tolist()
    cases.append(out)


TIGHT = dict(tol=1e-13, max_iter=1_000_000)
GLM = dict(solver="newton-cholesky", tol=1e-12, max_iter=10_000)

for name in ("diabetes", "wine"):
    case("linear-regression", {}, name, lm.LinearRegression())
    case("linear-regression", {"fit_intercept": False}, name, lm.LinearRegression(fit_intercept=False))
    for alpha in (0.01, 1.0, 100.0):
        case("ridge", {"alpha": alpha}, name, lm.Ridge(alpha=alpha, solver="cholesky"))
case("ridge", {"fit_intercept": False}, "diabetes", lm.Ridge(fit_intercept=False, solver="cholesky"))
for alpha in (0.1, 1.0, 10.0):
    case("lasso", {"alpha": alpha}, "diabetes", lm.Lasso(alpha=alpha, **TIGHT))
    for ratio in (0.2, 0.5, 0.9):
        case("elastic-net", {"alpha": alpha, "l1_ratio": ratio}, "diabetes",
             lm.ElasticNet(alpha=alpha, l1_ratio=ratio, **TIGHT))
case("lasso", {"fit_intercept": False}, "diabetes", lm.Lasso(fit_intercept=False, **TIGHT))
case("standard-scaler|lasso", {"alpha": 0.5}, "diabetes",
     make_pipeline(pp.StandardScaler(), lm.Lasso(alpha=0.5, **TIGHT)))
case("isotonic-regression", {}, "diabetes", IsotonicRegression(), columns=["bmi"])
case("isotonic-regression", {"increasing": "auto", "y_min": 80}, "diabetes",
     IsotonicRegression(increasing="auto", y_min=80), columns=["s3"])

for alpha in (0.0, 1.0, 10.0):
    case("standard-scaler|poisson-regression", {"alpha": alpha}, "diabetes",
         make_pipeline(pp.StandardScaler(), lm.PoissonRegressor(alpha=alpha, **GLM)))
case("standard-scaler|gamma-regression", {"alpha": 0.5}, "diabetes",
     make_pipeline(pp.StandardScaler(), lm.GammaRegressor(alpha=0.5, **GLM)))
case("poisson-regression", {"alpha": 0.1}, "diabetes", lm.PoissonRegressor(alpha=0.1, **GLM))
for power in (0, 1, 1.5, 2, 3):
    case("standard-scaler|tweedie-regression", {"power": power, "alpha": 0.1}, "diabetes",
         make_pipeline(pp.StandardScaler(), lm.TweedieRegressor(power=power, alpha=0.1, **GLM)))
case("standard-scaler|tweedie-regression", {"power": 0, "link": "log", "alpha": 0.1}, "diabetes",
     make_pipeline(pp.StandardScaler(), lm.TweedieRegressor(power=0, link="log", alpha=0.1, tol=1e-9, max_iter=10_000)))


def logistic(**kw):
    return lm.LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=10_000, **kw)


for name in ("iris", "wine"):
    for binary in (False, True):
        for c in (0.1, 1.0, 100.0):
            case("standard-scaler|logistic-regression", {"C": c}, name,
                 make_pipeline(pp.StandardScaler(), logistic(C=c)), binary=binary)
        case("logistic-regression", {}, name, logistic(), binary=binary)
case("logistic-regression", {"fit_intercept": False}, "iris", logistic(fit_intercept=False))
case("logistic-regression", {"class_weight": "balanced"}, "wine", logistic(class_weight="balanced"))
case("LogisticRegression", {}, "iris", lm.LogisticRegression(tol=1e-10, max_iter=100_000), tolerance=1e-4)

for name in ("wine", "diabetes"):
    case("standard-scaler", {}, name, pp.StandardScaler())
    case("standard-scaler", {"with_mean": False}, name, pp.StandardScaler(with_mean=False))
    case("min-max-scaler", {}, name, pp.MinMaxScaler())
    case("min-max-scaler", {"feature_range": [-1, 3]}, name, pp.MinMaxScaler(feature_range=(-1, 3)))
    case("max-abs-scaler", {}, name, pp.MaxAbsScaler())
    case("robust-scaler", {}, name, pp.RobustScaler())
    case("robust-scaler", {"quantile_range": [10, 90]}, name, pp.RobustScaler(quantile_range=(10, 90)))
    for norm in ("l1", "l2", "max"):
        case("normalizer", {"norm": norm}, name, pp.Normalizer(norm=norm))
case("polynomial-features", {"degree": 3}, "iris", pp.PolynomialFeatures(3))
case("polynomial-features", {"interaction_only": True, "include_bias": False}, "iris",
     pp.PolynomialFeatures(interaction_only=True, include_bias=False))

# A frame with text and nulls: median and most frequent, one-hot, ridge.
raw = frames["diabetes"].copy()
raw["group"] = np.where(raw["age"] < 40, "young", np.where(raw["age"] < 60, "middle", "old"))
raw.loc[::5, "bmi"] = np.nan
raw.loc[3::7, "group"] = np.nan
raw_x, raw_y = raw[["bmi", "group", "s1"]], raw["progression"]
auto = make_pipeline(
    make_column_transformer(
        (SimpleImputer(strategy="median"), ["bmi", "s1"]),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), pp.OneHotEncoder(handle_unknown="ignore")), ["group"]),
    ),
    lm.Ridge(alpha=0.5, solver="cholesky"),
).fit(raw_x, raw_y)
mixed = {
    "bmi": [None if np.isnan(v) else float(v) for v in raw_x["bmi"]],
    "group": [None if pd.isna(v) else v for v in raw_x["group"]],
    "s1": raw_x["s1"].tolist(),
    "y": raw_y.tolist(),
    "predict": auto.predict(raw_x).tolist(),
}

# Metrics of models that are not perfect.
x, y = table("wine", ["alcohol", "hue", "ash"])
model = lm.LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=10_000).fit(x, y)
predicted, proba = model.predict(x), model.predict_proba(x)
scores = {}
scores["multiclass"] = {
    "accuracy": m.accuracy_score(y, predicted),
    "balanced_accuracy": m.balanced_accuracy_score(y, predicted),
    "mcc": m.matthews_corrcoef(y, predicted),
    "kappa": m.cohen_kappa_score(y, predicted),
    "log_loss": m.log_loss(y, proba),
    "neg_log_loss": -m.log_loss(y, proba),
    "roc_auc_ovr": m.roc_auc_score(y, proba, multi_class="ovr"),
}
for average in ("macro", "weighted", "micro"):
    for name in ("precision", "recall", "f1"):
        scores["multiclass"][f"{name}_{average}"] = getattr(m, f"{name}_score")(y, predicted, average=average)
keep = y != 2
x, y = x[keep], y[keep]
model = lm.LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=10_000).fit(x[["hue"]], y)
predicted, proba = model.predict(x[["hue"]]), model.predict_proba(x[["hue"]])
scores["binary"] = {
    "precision": m.precision_score(y, predicted), "recall": m.recall_score(y, predicted),
    "f1": m.f1_score(y, predicted), "roc_auc": m.roc_auc_score(y, proba[:, 1]),
    "brier": m.brier_score_loss(y, proba[:, 1]),
}
x, y = table("diabetes")
predicted = lm.LinearRegression().fit(x, y).predict(x)
scores["regression"] = {
    "r2": m.r2_score(y, predicted), "mse": m.mean_squared_error(y, predicted),
    "rmse": m.root_mean_squared_error(y, predicted), "mae": m.mean_absolute_error(y, predicted),
    "mape": m.mean_absolute_percentage_error(y, predicted), "max_error": m.max_error(y, predicted),
    "explained_variance": m.explained_variance_score(y, predicted),
    "median_absolute_error": m.median_absolute_error(y, predicted),
    "neg_mean_squared_error": -m.mean_squared_error(y, predicted),
}
# Groups by petal length, compared with the species.
x, y = table("iris")
groups = pd.cut(x["petal_length"], [0, 2, 4.9, 9], labels=False).to_numpy()
inertia = sum(((x[groups == g] - x[groups == g].mean()) ** 2).to_numpy().sum() for g in range(3))
scores["groups"] = {
    "silhouette": m.silhouette_score(x, groups), "davies_bouldin": m.davies_bouldin_score(x, groups),
    "calinski_harabasz": m.calinski_harabasz_score(x, groups), "inertia": inertia,
    "adjusted_rand": m.adjusted_rand_score(y, groups),
}

searches = []
for spec, model, data_name, grid, metric in (
    ("standard-scaler|logistic-regression",
     make_pipeline(pp.StandardScaler(), logistic()), "wine",
     {"logisticregression__C": [0.001, 0.1, 10.0], "standardscaler__with_mean": [True, False]}, None),
    ("ridge", lm.Ridge(solver="cholesky"), "diabetes", {"alpha": [0.1, 10.0, 1000.0]}, None),
    ("ridge", lm.Ridge(solver="cholesky"), "diabetes", {"alpha": [0.1, 10.0, 1000.0]}, "neg_mean_squared_error"),
    ("logistic-regression", logistic(), "iris", {"C": [0.01, 1.0, 100.0]}, "f1_macro"),
):
    x, y = table(data_name)
    search = GridSearchCV(model, grid, scoring=metric, cv=5).fit(x, y)
    rename = lambda key: key.replace("logisticregression", "logistic_regression").replace("standardscaler", "standard_scaler")
    searches.append({
        "spec": spec, "data": data_name, "metric": metric,
        "grid": {rename(key): values for key, values in grid.items()},
        "best_params": {rename(key): value for key, value in search.best_params_.items()},
        "best_score": search.best_score_,
        "mean_test_score": search.cv_results_["mean_test_score"].tolist(),
        "std_test_score": search.cv_results_["std_test_score"].tolist(),
        "rank_test_score": search.cv_results_["rank_test_score"].tolist(),
    })

versions = {
    "scikit-learn": sklearn.__version__, "numpy": np.__version__,
    "scipy": scipy.__version__, "pandas": pd.__version__,
}
document = {"versions": versions, "cases": cases, "mixed": mixed, "scores": scores, "searches": searches}
text = json.dumps(document, indent=None, separators=(",", ":"), allow_nan=False)
(here / "sklearn.json").write_text(text.replace('{"spec"', '\n{"spec"') + "\n")
print(len(cases), "cases,", len(text) // 1024, "kB")
