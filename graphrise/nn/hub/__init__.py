"""Published encoders: a folder or Hub repository that timm loads by itself."""

from graphrise.nn.hub.mixin import HubMixin as HubMixin
