namespace Hydragen.Engine;

/// <summary>A sequence or prefix does not fit into the KV memory that the engine may use.</summary>
public sealed class OutOfKvMemoryException : Exception
{
    internal OutOfKvMemoryException(long bytesNeeded, long bytesUsed, long maxBytes)
        : base($"{Mebibytes(bytesNeeded)} MiB of KV memory are needed, but {Mebibytes(bytesUsed)} of at most {Mebibytes(maxBytes)} MiB are in use; shorten the prompt, dispose prefixes or raise the KV memory limit.")
    {
    }

    private static long Mebibytes(long bytes) => (bytes + (1 << 20) - 1) >> 20;
}
