"""Many data sets through one model template: `sample_batch`.

From the inside out:

- `settings`: what is done with every data set, as plain values.
- `starts`: where chains start, as the extension needs to know it.
- `data_sets`: the forms in which people have data, as one source of data sets.
- `engine`: `fit_all`, an iterator over chunks of finished fits.
- `chunks`: a chunk, and how chunks are joined.
- `result`: `BatchResult`, made of chunks.
- `zarr_arrays`: arrays on disk that grow by rows.
- `store`: fits on disk, which a later run can continue.
- `stored_result`: `StoredBatchResult`, which reads from there.
- `cluster`: `fit_on`, as `fit_all` on the workers of a Dask cluster.
- `likelihood`: the observed variables and Deterministics as functions of draws and new data.
- `predict`: draws from them for each fit.
- `progress`: the bar.
- `sample`: `sample_batch`, which puts these together.
"""

from pymc_rustmc.batch.data_sets import DataSet
from pymc_rustmc.batch.result import BatchResult
from pymc_rustmc.batch.sample import sample_batch
from pymc_rustmc.batch.stored_result import open_batch

__all__ = ["BatchResult", "DataSet", "open_batch", "sample_batch"]
