import sys
from pathlib import Path
from convert.config import load_config
from convert.train import Run
print(Run(load_config(Path(sys.argv[1]))).train())
