"""`graphrise demo`: the whole chain on a packaged set of real images."""

from graphrise.demo.drive import demo as demo
