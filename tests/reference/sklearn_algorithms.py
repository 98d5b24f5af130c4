"""Reference values of scikit-learn for tests/models_algorithms.rs.

    python3 -m venv ~/.cache/om-sklearn && ~/.cache/om-sklearn/bin/pip install scikit-learn pandas
    ~/.cache/om-sklearn/bin/python tests/reference/sklearn_algorithms.py

writes sklearn_algorithms.json beside this file. A case says which estimator of `om` is
fitted with which parameters on which rows, and what it must then answer. `all` cases fit
and answer on all rows; `split` cases fit on the rows whose number is no multiple of 3 and
answer on the others. Values are kept of every `step`-th row.
"""

import json
import pathlib
import warnings

import numpy as np
import pandas as pd
import sklearn
from sklearn import (cluster, cross_decomposition, decomposition, ensemble, manifold, mixture,
                     naive_bayes, neighbors, svm, tree)
from sklearn.feature_extraction import text
from sklearn.metrics import accuracy_score, r2_score

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent
TARGET = {"iris": "species", "wine": "class", "diabetes": "progression"}
cases = []


def load(name):
    frame = pd.read_csv(HERE.parent / "data" / f"{name}.csv")
    y = frame.pop(TARGET[name])
    if name != "diabetes":
        y = pd.Categorical(y).codes
    return frame.to_numpy(float), np.asarray(y)


DATA = {name: load(name) for name in TARGET}
# Two views of the same flowers.
DATA["petals"] = (DATA["iris"][0][:, :2], DATA["iris"][0][:, 2:])
STANDARD = {"iris", "wine"}
for name in STANDARD:
    x, y = DATA[name]
    DATA[name + "-scaled"] = ((x - x.mean(0)) / x.std(0), y)


def rounded(values):
    return [[float(f"{v:.12g}") for v in np.atleast_1d(row)] for row in values]


def case(estimator, data, model, action, tolerance, params=None, step=5, split=False, **more):
    x, y = DATA[data]
    fit = np.arange(len(x)) % 3 != 0 if split else np.ones(len(x), bool)
    ask = ~fit if split else fit
    found = {"estimator": estimator, "params": params or {}, "data": data, "action": action,
             "tolerance": tolerance, "step": step, "split": split, **more}
    if action == "groups":
        labels = model.fit(x).labels_ if hasattr(model, "fit") else model
        found["values"] = [int(v) for v in labels]
    elif action == "score":
        metric = r2_score if data == "diabetes" else accuracy_score
        # One seed may be lucky.
        scores = [metric(y[ask], model.set_params(random_state=seed).fit(x[fit], y[fit])
                         .predict(x[ask])) for seed in range(8)]
        found["value"] = float(np.mean(scores))
    elif action in ("transform", "transform-signs"):
        model.fit(x[fit], y[fit]) if hasattr(model, "x_rotations_") or "CCA" in repr(model) \
            or "PLS" in repr(model) else model.fit(x[fit])
        found["values"] = rounded(model.transform(x[ask])[::step])
    elif action == "fit_transform-signs":
        found["values"] = rounded(model(x)[::step])
    elif action == "learned":
        model.fit(x[fit])
        found["value"] = float(more.pop("get")(model))
        found.pop("get")
    else:
        model.fit(x[fit], y[fit])
        values = getattr(model, action)(x[ask])
        found["values"] = rounded(np.asarray(values, float).reshape(len(values), -1)[::step])
    cases.append(found)


for name in ("iris", "wine"):
    case("gaussian-nb", name, naive_bayes.GaussianNB(), "predict_proba", 1e-6, split=True)
    case("multinomial-nb", name, naive_bayes.MultinomialNB(alpha=0.5), "predict_proba", 1e-6,
         {"alpha": 0.5}, split=True)
    case("bernoulli-nb", name, naive_bayes.BernoulliNB(binarize=2.0), "predict_proba", 1e-6,
         {"binarize": 2.0}, split=True)
    for criterion in ("gini", "entropy"):
        case("decision-tree", name, tree.DecisionTreeClassifier(criterion=criterion, random_state=0),
             "score", 0.03, {"criterion": criterion}, split=True)
    case("random-forest", name, ensemble.RandomForestClassifier(random_state=0), "score", 0.03,
         split=True)
    case("extra-trees", name, ensemble.ExtraTreesClassifier(random_state=0), "score", 0.03,
         split=True)
    case("bagging", name, ensemble.BaggingClassifier(random_state=0), "score", 0.03, split=True)
    case("adaboost", name, ensemble.AdaBoostClassifier(random_state=0), "score", 0.04, split=True)
    case("gradient-boosting", name, ensemble.GradientBoostingClassifier(random_state=0), "score",
         0.03, split=True)
    # Scaled: whole numbers lie at equal distances, and every program breaks ties its own way.
    scaled = name + "-scaled" if name == "wine" else name
    for weights in ("uniform", "distance"):
        for metric in ("euclidean", "manhattan", "chebyshev"):
            case("k-neighbors", scaled, neighbors.KNeighborsClassifier(weights=weights, metric=metric),
                 "predict", 0, {"weights": weights, "metric": metric}, step=1, split=True)
    case("k-neighbors", scaled, neighbors.KNeighborsClassifier(7, weights="distance"),
         "predict_proba", 1e-9, {"n_neighbors": 7, "weights": "distance"}, split=True)

case("decision-tree-regressor", "diabetes", tree.DecisionTreeRegressor(max_depth=3, random_state=0),
     "predict", 1e-9, {"max_depth": 3}, split=True)
case("random-forest-regressor", "diabetes", ensemble.RandomForestRegressor(random_state=0), "score",
     0.03, split=True)
case("extra-trees-regressor", "diabetes", ensemble.ExtraTreesRegressor(random_state=0), "score",
     0.03, split=True)
case("bagging-regressor", "diabetes", ensemble.BaggingRegressor(random_state=0), "score", 0.06,
     split=True)
case("gradient-boosting-regressor", "diabetes",
     ensemble.GradientBoostingRegressor(max_depth=2, random_state=0), "predict", 1e-6,
     {"max_depth": 2}, split=True)
for weights in ("uniform", "distance"):
    case("k-neighbors-regressor", "diabetes", neighbors.KNeighborsRegressor(weights=weights),
         "predict", 1e-9, {"weights": weights}, split=True)

for name in ("iris", "wine-scaled"):
    for kernel in ("rbf", "linear", "poly"):
        case("svc", name, svm.SVC(kernel=kernel), "predict", 0, {"kernel": kernel}, step=1,
             split=True)
        case("svc", name, svm.SVC(kernel=kernel, tol=1e-6), "decision_function", 1e-4,
             {"kernel": kernel, "tol": 1e-6}, split=True)
    case("nu-svc", name, svm.NuSVC(nu=0.2, tol=1e-6), "decision_function", 1e-4,
         {"nu": 0.2, "tol": 1e-6}, split=True)
    case("one-class-svm", name, svm.OneClassSVM(nu=0.1, tol=1e-7), "decision_function", 1e-4,
         {"nu": 0.1, "tol": 1e-7}, split=True)
for kernel in ("rbf", "linear", "poly"):
    c = 1.0 if kernel == "linear" else 100.0
    case("svr", "diabetes", svm.SVR(kernel=kernel, C=c, tol=1e-5), "predict", 1e-2,
         {"kernel": kernel, "C": c, "tol": 1e-5}, split=True)
case("nu-svr", "diabetes", svm.NuSVR(nu=0.3, C=10.0, tol=1e-6), "predict", 1e-3,
     {"nu": 0.3, "C": 10.0, "tol": 1e-6}, split=True)
case("svc", "iris", svm.SVC(probability=True, random_state=0), "predict_proba", 0.1,
     {"probability": True}, split=True)

start = DATA["iris"][0][[0, 50, 100]]
case("k-means", "iris", cluster.KMeans(3, init=start, n_init=1), "predict", 0,
     {"n_clusters": 3, "init": start.tolist()}, step=1)
case("k-means", "iris", cluster.KMeans(3, init=start, n_init=1, tol=0), "learned", 1e-9,
     {"n_clusters": 3, "init": start.tolist(), "tol": 0}, path="/inertia",
     get=lambda m: m.inertia_)
for name in ("iris", "wine"):
    for k in (3, 8):
        case("k-means", name, cluster.KMeans(k, n_init=20, random_state=0), "learned", 0.01,
             {"n_clusters": k, "n_init": 10}, path="/inertia", get=lambda m: m.inertia_)
    for kind in ("full", "tied", "diag", "spherical"):
        params = {"n_components": 3, "covariance_type": kind, "tol": 1e-6, "max_iter": 500,
                  "n_init": 5}
        case("gaussian-mixture", name + "-scaled", mixture.GaussianMixture(**params, random_state=0),
             "learned", 0.01, params, path="/lower_bound", get=lambda m: m.lower_bound_)
case("dbscan", "iris", cluster.DBSCAN(eps=0.5), "groups", 0)
case("dbscan", "wine-scaled", cluster.DBSCAN(eps=2.2, min_samples=4), "groups", 0,
     {"eps": 2.2, "min_samples": 4})
case("optics", "iris", cluster.OPTICS(min_samples=5), "groups", 0)
case("optics", "wine-scaled", cluster.OPTICS(min_samples=4, xi=0.02), "groups", 0,
     {"min_samples": 4, "xi": 0.02})
case("optics", "iris", cluster.OPTICS(min_samples=5, cluster_method="dbscan", eps=0.5), "groups", 0,
     {"eps": 0.5})
for linkage in ("ward", "complete", "average", "single"):
    for name in ("wine-scaled", "diabetes"):
        case("agglomerative", name, cluster.AgglomerativeClustering(4, linkage=linkage), "groups", 0,
             {"n_clusters": 4, "linkage": linkage})
case("agglomerative", "wine-scaled",
     cluster.AgglomerativeClustering(None, distance_threshold=10.0), "groups", 0,
     {"distance_threshold": 10.0})

for name in ("iris", "wine", "wine-scaled"):
    case("pca", name, decomposition.PCA(), "transform", 1e-6)
    case("pca", name, decomposition.PCA(2, whiten=True), "transform", 1e-6,
         {"n_components": 2, "whiten": True}, split=True)
    case("pca", name, decomposition.PCA(0.9), "transform", 1e-6, {"n_components": 0.9})
    case("truncated-svd", name, decomposition.TruncatedSVD(2, algorithm="arpack", random_state=0),
         "transform-signs", 1e-6, split=True)
    case("kernel-pca", name,
         decomposition.KernelPCA(3, kernel="rbf", gamma=0.01, eigen_solver="dense"),
         "transform-signs", 1e-6, {"n_components": 3, "gamma": 0.01}, split=True)
case("ica", "iris", decomposition.FastICA(2, whiten="unit-variance", tol=1e-9, max_iter=5000,
                                          random_state=0),
     "transform-signs", 1e-4, {"n_components": 2, "tol": 1e-9, "max_iter": 5000}, permuted=True)
for k in (2, 5):
    model = cross_decomposition.PLSRegression(k)
    case("pls-regression", "diabetes", model, "predict", 1e-6, {"n_components": k}, split=True)
    case("pls-regression", "diabetes", model, "transform", 1e-6, {"n_components": k}, split=True)
for name, model in (("pls-canonical", cross_decomposition.PLSCanonical(2, tol=1e-16, max_iter=10000)),
                    ("cca", cross_decomposition.CCA(2, tol=1e-16, max_iter=10000))):
    case(name, "petals", model, "predict", 1e-6, split=True)
    case(name, "petals", model, "transform", 1e-6, split=True)
for name in ("iris", "wine-scaled"):
    case("t-sne", name, manifold.TSNE(method="exact", init="random", random_state=0), "learned",
         0.1, path="/kl_divergence", get=lambda m: m.kl_divergence_, at_most=True)


def diffusion(gamma, k):
    """The walk D^-1 K directly, without the symmetric form."""
    def run(x):
        kernel = np.exp(-gamma * ((x[:, None] - x[None]) ** 2).sum(-1))
        degree = kernel.sum(1)
        values, vectors = np.linalg.eig(kernel / degree[:, None])
        order = np.argsort(-values.real)[1:k + 1]
        values, vectors = values.real[order], vectors.real[:, order]
        vectors = vectors / np.sqrt((degree[:, None] * vectors ** 2).sum(0))
        return vectors * values
    return run


case("diffusion-map", "iris", diffusion(0.5, 2), "fit_transform-signs", 1e-6, {"gamma": 0.5})

DOCUMENTS = ["The quick brown fox jumps over the lazy dog", "A quick quick fox", "Dogs and foxes",
             "the the the end", "", "Äpfel und Birnen, äpfel!", "lazy lazy dog over the fox 42"]
texts = []
for estimator, params in (
        ("count-vectorizer", {}),
        ("count-vectorizer", {"ngram_range": [1, 2], "min_df": 2}),
        ("count-vectorizer", {"lowercase": False, "max_df": 0.4, "binary": True}),
        ("count-vectorizer", {"stop_words": ["the", "over"], "ngram_range": [2, 3]}),
        ("tf-idf", {}),
        ("tf-idf", {"norm": "l1", "sublinear_tf": True, "smooth_idf": False}),
        ("tf-idf", {"norm": "none", "use_idf": False, "max_df": 3, "min_df": 0.2})):
    theirs = {k: tuple(v) if k == "ngram_range" else None if v == "none" else v
              for k, v in params.items()}
    kind = text.CountVectorizer if estimator == "count-vectorizer" else text.TfidfVectorizer
    model = kind(**theirs).fit(DOCUMENTS)
    texts.append({"estimator": estimator, "params": params,
                  "terms": model.get_feature_names_out().tolist(),
                  "values": rounded(model.transform(DOCUMENTS).toarray().astype(float))})

with open(HERE / "sklearn_algorithms.json", "w") as file:
    json.dump({"sklearn": sklearn.__version__, "cases": cases, "documents": DOCUMENTS,
               "texts": texts}, file, ensure_ascii=False)
    file.write("\n")
print(len(cases), "cases")
