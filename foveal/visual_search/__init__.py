"""Collections that are searched by what they show: pictures by region, pages by line."""
