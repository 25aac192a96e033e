namespace Hydragen.Engine;

/// <summary>A sequence or prefix does not fit into the KV memory that the engine may use.</summary>
public sealed class OutOfKvMemoryException : Exception
{
    internal OutOfKvMemoryException(long bytesNeeded, long bytesUsed, long maxBytes)
        : base(
            $"{(bytesNeeded + (1 << 20) - 1) >> 20} MiB of KV memory are needed, but only {(maxBytes - bytesUsed) >> 20} of {maxBytes >> 20} MiB are free; shorten the prompt, dispose prefixes or raise the KV memory limit.")
    {
    }
}
