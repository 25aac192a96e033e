namespace Hydragen.Engine;

/// <summary>A sequence or prefix does not fit into the KV memory that the engine may use.</summary>
public sealed class OutOfKvMemoryException : Exception
{
    internal OutOfKvMemoryException(int pagesNeeded, int pagesUsed, int maxPages, long bytesPerPage)
        : base($"{Mebibytes(pagesNeeded, bytesPerPage)} MiB of KV memory are needed, but {Mebibytes(pagesUsed, bytesPerPage)} of at most {Mebibytes(maxPages, bytesPerPage)} MiB are in use; shorten the prompt, dispose prefixes or raise the KV memory limit.")
    {
    }

    private static long Mebibytes(int pages, long bytesPerPage) => ((long)pages * bytesPerPage + (1 << 20) - 1) >> 20;
}
