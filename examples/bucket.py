# %% [markdown]
# # Shards to a bucket and back
#
# Against a server of this process that speaks S3 (`pip install "fdsl[s3]" "moto[server]"`); for a
# bucket of yours, leave out the first cell. A few seconds.

# %%
import logging
import os

import boto3
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
os.environ |= {
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    "AWS_ACCESS_KEY_ID": "an-example",
    "AWS_SECRET_ACCESS_KEY": "an-example",
    "AWS_REGION": "us-east-1",
}
boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="formulas")

# %% [markdown]
# A dataset is made straight into a bucket; every shard is checked and whole, or absent.

# %%
from fdsl_gen import generate, load_recipe, open_dataset
from fdsl_gen.cli.main import cli

url = "s3://formulas/rcdb"
recipe = load_recipe("rcdb-1k", num_categories=8, num_instances=4, num_shards=2, image_size=64)
made = generate(recipe, url, workers=1)
print(open_dataset(url)["00003_00001"].image.shape)

# %% [markdown]
# And back, as `fdsl-gen download` does: an interrupted copy goes on where it stopped. Training
# reads such a URL as it stands (`fdsl-train pretrain --data s3://...`).

# %%
cli.main(["download", url, "home"], standalone_mode=False)
cli.main(["verify", "home", "--render", "4"], standalone_mode=False)
assert open_dataset("home").manifest.content_digest == made.content_digest
server.stop()
