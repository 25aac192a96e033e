namespace Hydragen.Cpu;

/// <summary>Work cut into items that any thread may do in any order. Kept and refilled by its owner, so that running it allocates nothing.</summary>
internal abstract class Job
{
    /// <summary>Does one item.</summary>
    /// <param name="item">Its index.</param>
    /// <param name="worker">Index of the thread, below <see cref="WorkerPool.NumThreads"/>; scratch memory is kept by it.</param>
    public abstract void Execute(int item, int worker);
}
