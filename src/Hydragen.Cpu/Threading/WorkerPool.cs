using System.Diagnostics;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace Hydragen.Cpu;

/// <summary>
/// Persistent threads that share out the items of a <see cref="Job"/>; the caller works too, as worker 0. One caller at a time.
/// </summary>
/// <remarks>
/// <para>
/// <b>Sharing out.</b> Each worker begins with its own contiguous range of the items, so neighbours that share data stay on one core
/// and a matrix's strips come back to the core that had them in the last step. Then it takes single items from the ends of the others'
/// ranges until none is left anywhere: nobody waits for a slow core longer than for one item. Ranges only shrink while a job runs, so
/// one round over them finds everything.
/// </para>
/// <para>
/// <b>Two groups.</b> A job may have items bound by arithmetic in front of items that wait for memory. Every worker has a range of
/// both. Odd workers begin with the memory's, even ones with the arithmetic, so that both resources are in use from the start; in
/// others' ranges, arithmetic is taken first, because its items are dear and the cheap ones even out the end.
/// </para>
/// <para>
/// <b>Nobody is waited for.</b> A job ends when all items are reported done, not when workers have come or gone. One that comes late
/// finds empty ranges, or takes an item of a later job, which is as good: a taken item keeps its job open, so the job that is read
/// after taking is the item's.
/// </para>
/// <para>
/// <b>Idle.</b> A worker without work looks for some tens of microseconds whether a job has come, then parks. A caller wakes two of
/// the parked that the job has items for, and each who is woken wakes two more before it works, so nobody pays for waking all. With
/// more threads than processors workers park at once. The caller, which waits for no more than the items in hand, does not park.
/// </para>
/// </remarks>
internal sealed class WorkerPool : IDisposable
{
    // Bridges the gap between two operators of a step; about what parking and waking cost together.
    private const double SpinSeconds = 50e-6;
    private const int SpinLength = 2;
    private const int WakesPerThread = 2;

    private readonly long _spinTicks;
    private readonly Thread[] _threads;
    private readonly WorkerRanges[] _ranges;
    private readonly AutoResetEvent[] _wakeUps;

    // 1 while a thread waits for its wake-up or is about to. Whoever sets it back, the waker or the thread itself, did so alone;
    // a waker signals after that, and the thread waits unless it was the one. So there is one signal for each wait, never a spare one.
    private readonly int[] _isParked;
    private readonly Shared _shared = new();
    private volatile bool _isDisposed;

    public WorkerPool(int numThreads)
        : this(numThreads, numThreads <= Environment.ProcessorCount ? SpinSeconds : 0)
    {
    }

    internal WorkerPool(int numThreads, double spinSeconds)
    {
        NumThreads = numThreads;
        _spinTicks = (long)(spinSeconds * Stopwatch.Frequency);
        _ranges = new WorkerRanges[numThreads];
        _isParked = new int[numThreads];
        _wakeUps = new AutoResetEvent[numThreads - 1];
        _threads = new Thread[numThreads - 1];
        for (int i = 0; i < _threads.Length; i++)
        {
            int worker = i + 1;
            _wakeUps[i] = new AutoResetEvent(false);
            _threads[i] = new Thread(() => Work(worker)) { IsBackground = true, Name = $"Hydragen CPU {worker}" };
            _threads[i].Start();
        }
    }

    /// <summary>Threads that work, the caller included.</summary>
    public int NumThreads { get; }

    /// <summary>Background threads that have not ended.</summary>
    public int NumLiveThreads => _threads.Count(thread => thread.IsAlive);

    /// <summary>Background threads that sleep until they are woken.</summary>
    public int NumParked => _isParked.AsSpan().Count(1);

    /// <summary>Does all items and returns when they are done. The first exception of an item is thrown here; the items left are dropped.</summary>
    /// <param name="job">The work.</param>
    /// <param name="numItems">Items.</param>
    /// <param name="numComputeBound">How many of them, the first ones, are bound by arithmetic when the others wait for memory.</param>
    /// <exception cref="InvalidOperationException">A job runs: an item tried to start another, or a second thread did.</exception>
    public void Run(Job job, int numItems, int numComputeBound = 0)
    {
        Enter();
        try
        {
            if (numItems > 1 && NumThreads > 1)
            {
                Share(job, numItems, numComputeBound);
                return;
            }
            for (int item = 0; item < numItems; item++) job.Execute(item, 0);
        }
        finally
        {
            Volatile.Write(ref _shared.IsBusy, 0);
        }
    }

    /// <summary>Ends the threads.</summary>
    /// <exception cref="InvalidOperationException">A job runs.</exception>
    public void Dispose()
    {
        if (_isDisposed) return;
        Enter();
        _isDisposed = true;
        Interlocked.Increment(ref _shared.Generation);
        for (int worker = 1; worker < NumThreads; worker++) TryWake(worker);
        foreach (Thread thread in _threads) thread.Join();
        foreach (AutoResetEvent wakeUp in _wakeUps) wakeUp.Dispose();
    }

    private void Enter()
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (Interlocked.Exchange(ref _shared.IsBusy, 1) != 0)
            throw new InvalidOperationException("The threads run a job already; an item cannot start another, and one thread at a time can.");
    }

    private void Share(Job job, int numItems, int numComputeBound)
    {
        int numWorkers = Math.Min(numItems, NumThreads);
        _shared.Job = job;
        _shared.NumWorkers = numWorkers;
        _shared.NumLeft = numItems;
        // From the first range on, a worker that still looks for items of the job before may take one; all it needs is written.
        for (int worker = 0; worker < numWorkers; worker++)
        {
            ref WorkerRanges ranges = ref _ranges[worker];
            ranges.ComputeBound.Fill(Split(numComputeBound, worker, numWorkers), Split(numComputeBound, worker + 1, numWorkers));
            int numOthers = numItems - numComputeBound;
            ranges.MemoryBound.Fill(
                numComputeBound + Split(numOthers, worker, numWorkers), numComputeBound + Split(numOthers, worker + 1, numWorkers));
        }
        // A full fence on both sides: here between raising the generation and looking for parked threads, in Park between saying so
        // and looking at the generation. One of the two sees the other, so no thread sleeps through a job that nobody wakes it for; a
        // thread that wakes others was woken after the first fence, so it sees no less.
        Interlocked.Increment(ref _shared.Generation);
        WakeSome();
        TakeItems(0);
        long waitsSince = Stopwatch.GetTimestamp();
        while (Volatile.Read(ref _shared.NumLeft) != 0) Spin(Stopwatch.GetTimestamp() - waitsSince);
        // Failures were noted before their items were reported.
        ExceptionDispatchInfo? failure = _shared.Failure;
        _shared.Failure = null;
        _shared.Job = null;
        failure?.Throw();
    }

    private static int Split(int numItems, int worker, int numWorkers) => (int)((long)numItems * worker / numWorkers);

    private void Work(int worker)
    {
        int seen = 0;
        long idleSince = Stopwatch.GetTimestamp();
        while (true)
        {
            if (Await(seen, worker, idleSince)) WakeSome();
            seen = Volatile.Read(ref _shared.Generation);
            if (_isDisposed) return;
            // A job without items for this worker leaves it idle.
            if (worker >= Volatile.Read(ref _shared.NumWorkers)) continue;
            TakeItems(worker);
            idleSince = Stopwatch.GetTimestamp();
        }
    }

    /// <summary>Waits for another generation; may return early. Returns whether the thread was woken, which is a duty to wake others.</summary>
    private bool Await(int seen, int worker, long idleSince)
    {
        while (Volatile.Read(ref _shared.Generation) == seen)
        {
            long idleTicks = Stopwatch.GetTimestamp() - idleSince;
            if (idleTicks >= _spinTicks) return Park(seen, worker);
            Spin(idleTicks);
        }
        return false;
    }

    private void Spin(long idleTicks)
    {
        // After a while, as the thread waited for may need this very processor.
        if (idleTicks < _spinTicks / 8) Thread.SpinWait(SpinLength);
        else Thread.Yield();
    }

    private bool Park(int seen, int worker)
    {
        Interlocked.Exchange(ref _isParked[worker], 1);
        if (Volatile.Read(ref _shared.Generation) != seen && Interlocked.Exchange(ref _isParked[worker], 0) == 1) return false;
        _wakeUps[worker - 1].WaitOne();
        return true;
    }

    private bool TryWake(int worker)
    {
        if (Interlocked.Exchange(ref _isParked[worker], 0) == 0) return false;
        _wakeUps[worker - 1].Set();
        return true;
    }

    private void WakeSome()
    {
        int numWorkers = Volatile.Read(ref _shared.NumWorkers), numWoken = 0;
        for (int worker = 1; worker < numWorkers && numWoken < WakesPerThread; worker++)
        {
            int numAwake = _isParked.AsSpan(worker, numWorkers - worker).IndexOf(1);
            if (numAwake < 0) return;
            worker += numAwake;
            if (TryWake(worker)) numWoken++;
        }
    }

    private void TakeItems(int worker)
    {
        ref WorkerRanges own = ref _ranges[worker];
        bool startsWithMemory = worker % 2 != 0;
        TakeItems(ref startsWithMemory ? ref own.MemoryBound : ref own.ComputeBound, false, worker);
        TakeItems(ref startsWithMemory ? ref own.ComputeBound : ref own.MemoryBound, false, worker);
        int numWorkers = Volatile.Read(ref _shared.NumWorkers);
        for (int i = 1, other = worker; i < numWorkers; i++) TakeItems(ref _ranges[other = Next(other, numWorkers)].ComputeBound, true, worker);
        for (int i = 1, other = worker; i < numWorkers; i++) TakeItems(ref _ranges[other = Next(other, numWorkers)].MemoryBound, true, worker);
    }

    private static int Next(int worker, int numWorkers) => worker + 1 < numWorkers ? worker + 1 : 0;

    private void TakeItems(ref ItemRange range, bool fromEnd, int worker)
    {
        int numDone = 0;
        for (; range.TryTake(fromEnd, out int item); numDone++)
        {
            // Until the item is reported its job stays, so this is its job.
            if (Volatile.Read(ref _shared.Failure) is null) Execute(_shared.Job!, item, worker);
        }
        // One report for all: the counter's cache line goes from core to core for each.
        if (numDone > 0) Interlocked.Add(ref _shared.NumLeft, -numDone);
    }

    private void Execute(Job job, int item, int worker)
    {
        try
        {
            job.Execute(item, worker);
        }
#pragma warning disable CA1031 // Rethrown by Run.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Interlocked.CompareExchange(ref _shared.Failure, ExceptionDispatchInfo.Capture(exception), null);
        }
    }

    /// <summary>A worker's items, away from the cache lines of the others and of the array's length.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 128)]
    private struct WorkerRanges
    {
        [FieldOffset(64)]
        public ItemRange ComputeBound;

        [FieldOffset(72)]
        public ItemRange MemoryBound;
    }

    /// <summary>What all look at, which changes once a job, and the counter, which changes with every report, on lines of their own.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 384)]
    private sealed class Shared
    {
        [FieldOffset(128)]
        public Job? Job;

        [FieldOffset(136)]
        public ExceptionDispatchInfo? Failure;

        [FieldOffset(144)]
        public int NumWorkers;

        [FieldOffset(148)]
        public int Generation;

        [FieldOffset(256)]
        public int NumLeft;

        [FieldOffset(260)]
        public int IsBusy;
    }
}
