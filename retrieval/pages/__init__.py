"""Pages of documents: vectors of their lines or patches, searched late, answered with regions."""
