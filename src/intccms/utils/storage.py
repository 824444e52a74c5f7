from intccms.skimming.storage import Storage

__all__ = ["Storage"]
