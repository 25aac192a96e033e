namespace Hydragen.Cpu.Tests;

public sealed class WorkerPoolTests
{
    private const int NumRuns = 200_000;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void Every_item_is_done_exactly_once(int numThreads)
    {
        using var pool = new WorkerPool(numThreads);
        var job = new CountingJob();
        for (int run = 0; run < 4000; run++)
        {
            int numItems = run % 37;
            Array.Clear(job.Counts);
            pool.Run(job, numItems);
            for (int item = 0; item < job.Counts.Length; item++) Assert.Equal(item < numItems ? 1 : 0, job.Counts[item]);
            // Every now and then the threads fall asleep.
            if (run % 400 == 0) Thread.Sleep(2);
        }
        Assert.InRange(job.LargestWorker, 0, numThreads - 1);
    }

    [Fact]
    public void Workers_that_join_and_leave_at_the_same_moment_are_counted_right()
    {
        // A lost count makes Run wait for ever, or return while a worker still works.
        using var pool = new WorkerPool(16);
        var job = new CountingJob { Spins = 5 };
        for (int run = 0; run < NumRuns; run++) pool.Run(job, 24);
        Assert.Equal(24 * NumRuns, job.Counts.Sum());
        Assert.Equal(0, pool.NumActive);
    }

    [Fact]
    public void An_exception_of_any_thread_reaches_the_caller_and_the_pool_lives_on()
    {
        using var pool = new WorkerPool(3);
        for (int run = 0; run < 50; run++)
        {
            InvalidOperationException thrown = Assert.Throws<InvalidOperationException>(() => pool.Run(new FailingJob(), 100));
            Assert.Equal("item 50", thrown.Message);
        }
        var job = new CountingJob();
        pool.Run(job, 30);
        Assert.Equal(30, job.Counts.Sum());
    }

    [Fact]
    public void A_disposed_pool_has_no_threads_and_refuses_work()
    {
        var pool = new WorkerPool(4);
        pool.Run(new CountingJob(), 20);
        pool.Dispose();
        pool.Dispose();
        Assert.Throws<ObjectDisposedException>(() => pool.Run(new CountingJob(), 20));
        Assert.Equal(0, pool.NumLiveThreads);
    }

    private sealed class CountingJob : Job
    {
        public readonly int[] Counts = new int[64];
        public int LargestWorker;
        public int Spins;

        public override void Execute(int item, int worker)
        {
            Interlocked.Increment(ref Counts[item]);
            if (worker > LargestWorker) LargestWorker = worker;
            Thread.SpinWait(Spins);
        }
    }

    private sealed class FailingJob : Job
    {
        public override void Execute(int item, int worker)
        {
            if (item == 50) throw new InvalidOperationException("item 50");
        }
    }
}
