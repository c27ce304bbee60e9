"""Does a convergence run reproduce a reference? Bands, contrasts, recipe, image quality -> one verdict.

Host side: reads run folders, logs and YAML references; knows nothing of torch, Docker or the command line.
"""
