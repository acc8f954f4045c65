"""Code that reads a version with common tools."""


def snippets(location: str) -> list[tuple[str, str]]:
    """Return (tool, lines of code) that read the data files at `location`, the folder or URI of a version."""
    files = f"{(location or '<version>').rstrip('/')}/data"
    return [
        ("pandas", f'import pandas as pd\n\nrows = pd.read_parquet("{files}")'),
        ("Polars", f'import polars as pl\n\nrows = pl.scan_parquet("{files}/**/*.parquet")'),
        (
            "DuckDB",
            f"SELECT ek_cluster_1, count(*) AS rows\nFROM '{files}/**/*.parquet'\nGROUP BY 1 ORDER BY 2 DESC;",
        ),
        (
            "datasets",
            "from datasets import load_dataset\n\n"
            f'files = "{files}/**/*.parquet"\nrows = load_dataset("parquet", data_files=files, split="train")',
        ),
        (
            "PyTorch",
            "from torch.utils.data import DataLoader, WeightedRandomSampler\n\n"
            'rows = rows.with_format("torch")  # the rows read with datasets\n'
            'sampler = WeightedRandomSampler(rows["ek_copies"], len(rows))\n'
            "batches = DataLoader(rows, batch_size=256, sampler=sampler)",
        ),
    ]
