"""The command ``explore``."""

import click

from fdsl_gen.core.errors import UsageError


@click.command()
@click.argument("name", default="fractal-1")
@click.option(
    "--port",
    type=click.IntRange(min=0, max=65535),
    default=0,
    help="port of 127.0.0.1  [default: a free one]",
)
@click.option("--browser/--no-browser", default=True, help="open the page  [default: yes]")
def explore(name: str, port: int, browser: bool) -> None:
    """Turn the settings of a dataset on a page, and see its images change."""
    import socket
    import webbrowser

    from fdsl_gen.explore import controls, server

    controls.recipe_from({"name": name})
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((server.HOST, port))
        listener.listen()  # a browser that is quicker than the server waits
    except OSError as error:
        listener.close()
        raise UsageError(f"cannot use port {port}: {error.strerror}; give another --port") from None
    token = server.new_token()
    address = f"http://{server.HOST}:{listener.getsockname()[1]}/?token={token}"
    click.echo(f"{address}\nCtrl-C ends it")
    if browser:
        webbrowser.open(address)
    with listener:
        server.serve(listener, token, name)
