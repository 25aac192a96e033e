namespace Hydragen.Cuda;

/// <summary>The driver's <c>CUipcMemHandle</c>: what another process of the host knows an allocation by.</summary>
internal unsafe struct MemoryHandle
{
    private const int NumWords = 8;

    private fixed long _words[NumWords];
}
