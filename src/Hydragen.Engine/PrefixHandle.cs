namespace Hydragen.Engine;

/// <summary>
/// Holds a computed prefix in KV memory until disposed, so that any number of calls can continue it. A handle made by extending
/// another keeps what it needs of that one alive by itself.
/// </summary>
public sealed class PrefixHandle : IDisposable
{
    private readonly InferenceEngine _engine;

    internal PrefixHandle(InferenceEngine engine, PrefixNode node, int number)
    {
        _engine = engine;
        Node = node;
        Number = number;
    }

    /// <summary>Tokens from position 0 to the end of this prefix.</summary>
    public int Length => Node.End;

    internal PrefixNode Node { get; }

    /// <summary>What the other ranks of a group know it by.</summary>
    internal int Number { get; }

    internal bool IsDisposed { get; private set; }

    internal InferenceEngine Engine => _engine;

    /// <summary>Ends the hold; waits for a running call of the engine. Harmless when repeated.</summary>
    public void Dispose()
    {
        if (IsDisposed) return;
        IsDisposed = true;
        _engine.Release(this);
    }
}
