"""What is measured of a picture, and how far two sets of pictures are apart.

Features. Two layers of fixed random convolutions at three scales, a small
scattering network of which nothing is trained: |conv 5x5x3 -> 24| of the
picture at 1, 1/2 and 1/4 of its size, then |conv 3x3x24 -> 24| of those maps
at half their size. Of every map the logarithms of its mean and of its standard
deviation, which are those of texture models (energies, and how unevenly they
lie); and of the colours mean and covariance: 297 numbers. The filters are
Gaussian, of mean zero and norm one, from one seed; no picture had a say in
them, so no method can have been favoured by their choice.

Units. Every feature is divided by its standard deviation among real pictures
(of the class, or of all), and a distance by sqrt(297): 1 is what two real
pictures differ by, roughly, in one feature.

Distances, from set X (n made) to set Y (reference, real).
  energy   2 E|x - y| - E|x - x'| - E|y - y'|, pairs of different pictures
           (Szekely and Rizzo, Energy statistics, 2013). The estimate has no
           bias, whatever n is: two real sets give 0 on average, so a small one
           can be negative (over all classes at once, sets with equal shares of
           them are a little nearer than chance: some -1 / n). No bandwidth, no
           covariance, linear in outliers.
  frechet  |m_x - m_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^(1/2)) on the 32 leading
           principal components of the real pictures, of unit variance. It is
           biased upward by about d (d + 5) / 4n, so what real pictures of the
           same n give, mean of several draws, is subtracted.
  nearest  which class a picture is taken for: the nearest mean of the classes,
           in the metric of the covariance within classes (linear discriminant).

Standard errors are those of a delete-a-group jackknife: pictures of one group
of seeds are left out, of all classes at once. Rows that were made from the
same seeds are compared in pairs: the jackknife is of the difference.
"""
import numpy as np

SCALES, MAPS, COMPONENTS = 3, 24, 32
TINY = 1e-6


def filters(rng, taps, cin, cout):
    w = rng.standard_normal((taps * taps * cin, cout)).astype(np.float32)
    w -= w.mean(0)
    return w / np.linalg.norm(w, axis=0)


def bank():
    rng = np.random.default_rng(20240229)
    return [(filters(rng, 5, 3, MAPS), filters(rng, 3, MAPS, MAPS))
            for _ in range(SCALES)]


def conv(x, w, taps):
    """Responses [h - taps + 1][w - taps + 1][cout] of x [h][w][cin]."""
    win = np.lib.stride_tricks.sliding_window_view(x, (taps, taps), (0, 1))
    win = win.transpose(0, 1, 3, 4, 2)          # [y][x][dy][dx][cin]
    return win.reshape(win.shape[0], win.shape[1], -1) @ w


def halve(x):
    h, w = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
    x = x[:h, :w]
    return (x[0::2, 0::2] + x[1::2, 0::2] + x[0::2, 1::2] + x[1::2, 1::2]) / 4


def energies(maps):
    flat = maps.reshape(-1, maps.shape[-1])
    return [np.log(flat.mean(0) + TINY), np.log(flat.std(0) + TINY)]


def features(picture, weights):
    """297 numbers of a picture, [h][w][3] of bytes."""
    x = picture.astype(np.float32) / 127.5 - 1
    flat = x.reshape(-1, 3)
    out = [flat.mean(0), np.cov(flat.T)[np.triu_indices(3)]]
    for first, second in weights:
        maps = np.abs(conv(x, first, 5))
        out += energies(maps)
        out += energies(np.abs(conv(halve(maps), second, 3)))
        x = halve(x)
    return np.concatenate(out)


# ------------------------------------------------------------------ distances
def distances(a, b):
    """|a_i - b_j| / sqrt(number of features)."""
    sq = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T
    return np.sqrt(np.maximum(sq, 0) / a.shape[1])


class Energy:
    """Energy distance to a reference; sums are kept, so that a jackknife is
    cheap: a group left out takes its rows and columns with it."""

    def __init__(self, reference):
        self.scale = reference.std(0) + TINY
        self.reference = reference / self.scale
        n = len(reference)
        self.within = distances(self.reference,
                                self.reference).sum() / (n * (n - 1))

    def parts(self, made):
        made = made / self.scale
        return distances(made, self.reference).mean(1), distances(made, made)

    def value(self, parts, keep):
        across, own = parts
        n = keep.sum()
        own = own[np.ix_(keep, keep)].sum() / (n * (n - 1))
        return 2 * across[keep].mean() - own - self.within


class Frechet:
    def __init__(self, reference):
        self.mean, self.scale = reference.mean(0), reference.std(0) + TINY
        z = (reference - self.mean) / self.scale
        value, vector = np.linalg.eigh(np.cov(z.T))
        top = np.argsort(value)[::-1][:COMPONENTS]
        self.project = vector[:, top] / np.sqrt(value[top])

    def parts(self, made):
        return (made - self.mean) / self.scale @ self.project

    def value(self, z, keep):
        """The reference has mean 0 and covariance 1 here."""
        m, c = z[keep].mean(0), np.cov(z[keep].T)
        roots = np.sqrt(np.maximum(np.linalg.eigvalsh(c), 0))
        return m @ m + ((roots - 1) ** 2).sum()


class Nearest:
    def __init__(self, reference, label):
        self.classes = np.unique(label)
        self.mean = np.stack([reference[label == k].mean(0)
                              for k in self.classes])
        inner = reference - self.mean[np.searchsorted(self.classes, label)]
        scale = inner.std(0) + TINY
        value, vector = np.linalg.eigh(np.cov((inner / scale).T))
        self.whiten = (vector / np.sqrt(value + 1e-3)) / scale[:, None]

    def of(self, made):
        a, b = made @ self.whiten, self.mean @ self.whiten
        return self.classes[distances(a, b).argmin(1)]


# ------------------------------------------------------------ standard errors
def jackknife(value, groups):
    """Of value(keep): itself with all, and with each group left out."""
    every = np.ones(len(groups), bool)
    return value(every), np.array([value(groups != g)
                                   for g in np.unique(groups)])


def error(left_out):
    g = len(left_out)
    return np.sqrt((g - 1) / g * ((left_out - left_out.mean()) ** 2).sum())
