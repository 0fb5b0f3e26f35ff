"""Probability distributions (`jax.scipy.stats`): a module each."""

from jaxc.scipy.stats import bernoulli as bernoulli
from jaxc.scipy.stats import beta as beta
from jaxc.scipy.stats import cauchy as cauchy
from jaxc.scipy.stats import chi2 as chi2
from jaxc.scipy.stats import dirichlet as dirichlet
from jaxc.scipy.stats import expon as expon
from jaxc.scipy.stats import gamma as gamma
from jaxc.scipy.stats import geom as geom
from jaxc.scipy.stats import laplace as laplace
from jaxc.scipy.stats import logistic as logistic
from jaxc.scipy.stats import multivariate_normal as multivariate_normal
from jaxc.scipy.stats import norm as norm
from jaxc.scipy.stats import pareto as pareto
from jaxc.scipy.stats import poisson as poisson
from jaxc.scipy.stats import t as t
from jaxc.scipy.stats import uniform as uniform
