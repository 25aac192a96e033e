using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>What attention is measured on: it computes, makes numbers, keeps the time and knows its limits.</summary>
internal abstract class AttentionDevice : IDisposable
{
    /// <summary>What computes; another one after <see cref="Restart"/>.</summary>
    public abstract IAttentionBackend Backend { get; }

    /// <summary>How tables write its times and rates.</summary>
    public abstract BenchUnits Units { get; }

    /// <summary>Versions of what it needs besides this program; null when nothing.</summary>
    public virtual string? Software => null;

    /// <summary>Memory for keys and values unless an option says otherwise, in bytes.</summary>
    public abstract long MaxKvBytes { get; }

    /// <summary>Size of the last cache, which data sets must exceed to be cold; 0 when <see cref="Time"/> empties the cache.</summary>
    public abstract long LastLevelCacheBytes { get; }

    /// <summary>Whether cells that differ in nothing but their suffix may be measured in one cache.</summary>
    public abstract bool SharesCaches { get; }

    /// <summary>About how long a sample lasts.</summary>
    public abstract double SampleSeconds { get; }

    /// <summary>The most calls of a sample.</summary>
    public abstract int MaxCallsPerSample { get; }

    /// <summary>Memory of the device that somebody uses, in bytes; null when it is not known.</summary>
    public virtual long? UsedBytes => null;

    /// <summary>Type of the outputs for a type of queries.</summary>
    public abstract ElementType OutputType(ElementType queryType);

    /// <summary>Measures what the device can do at most.</summary>
    /// <param name="maxBytes">The most memory to use.</param>
    /// <param name="cancellationToken">Ends it between two attempts.</param>
    public abstract ICeilings MeasureCeilings(long maxBytes, CancellationToken cancellationToken);

    /// <summary>Fills queries, <c>[numRows, numHeads, headDim]</c>.</summary>
    public abstract void FillQueries(DeviceBuffer query, int numRows, AttentionShape shape);

    /// <summary>Fills all layers of a cache.</summary>
    public abstract void Fill(KvCache cache, IEnumerable<TokenRun> runs, CancellationToken cancellationToken);

    /// <summary>Does something until code that becomes faster with use has become so.</summary>
    /// <param name="step">Something small.</param>
    /// <param name="cancellationToken">Ends it between two calls.</param>
    public abstract void WarmUp(Action step, CancellationToken cancellationToken);

    /// <summary>Seconds of a call.</summary>
    /// <param name="step">The call.</param>
    /// <param name="calls">How often it is made for this sample.</param>
    /// <param name="isWarm">Whether caches may keep data from call to call.</param>
    public abstract double Time(Action step, int calls, bool isWarm);

    /// <summary>Measures, and says in which state the machine was meanwhile; null when that cannot be told.</summary>
    public abstract MachineState? Watch(Action measure);

    /// <summary>10⁹ bytes a second that memory gives at this moment; null where that does not change from one to the next.</summary>
    public virtual double? MeasureReads() => null;

    /// <summary>Begins anew, so that memory that earlier cells needed counts for none.</summary>
    public virtual void Restart()
    {
    }

    public abstract void Dispose();
}
