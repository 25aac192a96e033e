namespace Hydragen.Engine.Tests;

/// <summary>What launchers leave in the environment.</summary>
public sealed class RankEnvironmentTests
{
    [Fact]
    public void A_process_started_alone_has_no_ranks()
    {
        Assert.Null(Read());
        Assert.Null(Read(("RANK", "0"), ("WORLD_SIZE", "1")));
        Assert.Null(Read(("RANK", "0")));

        // The batch script of a job with several tasks is one process; only srun starts ranks.
        Assert.Null(Read(("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8"), ("SLURM_JOB_ID", "77")));
    }

    [Fact]
    public void Torchrun_sets_rank_size_local_rank_and_address()
    {
        RankEnvironment ranks = Read(
            ("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1"), ("MASTER_ADDR", "gpu01"), ("MASTER_PORT", "29400"))!;
        Assert.Equal((5, 8, 1, "gpu01", 29400), (ranks.Rank, ranks.Size, ranks.LocalRank, ranks.Address, ranks.Port));
    }

    [Fact]
    public void The_port_of_torchruns_own_store_is_left_to_it() => Assert.Equal(29401, Read(
        ("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_PORT", "29400"), ("TORCHELASTIC_USE_AGENT_STORE", "True"))!.Port);

    [Fact]
    public void Open_MPI_sets_rank_size_and_local_rank_and_on_one_host_needs_no_address()
    {
        RankEnvironment ranks = Read(
            ("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2"), ("OMPI_COMM_WORLD_LOCAL_RANK", "1"), ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"))!;
        Assert.Equal((1, 2, 1, "127.0.0.1", 29500), (ranks.Rank, ranks.Size, ranks.LocalRank, ranks.Address, ranks.Port));
        ArgumentException exception = Assert.Throws<ArgumentException>(
            () => Read(("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_LOCAL_SIZE", "2")));
        Assert.Contains("MASTER_ADDR", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gpu07", "gpu07")]
    [InlineData("gpu07,cpu3", "gpu07")]
    [InlineData("gpu[07-09,12],cpu3", "gpu07")]
    [InlineData("gpu[3,5]", "gpu3")]
    [InlineData("rack2-[11-14]-ib,other", "rack2-11-ib")]
    public void Slurm_names_its_hosts_and_the_first_has_rank_0(string hosts, string first)
    {
        RankEnvironment ranks = Read(
            ("SLURM_PROCID", "3"), ("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_LOCALID", "1"), ("SLURM_STEP_NODELIST", hosts), ("SLURM_JOB_ID", "123456"))!;
        Assert.Equal((3, 4, 1, first, 23456), (ranks.Rank, ranks.Size, ranks.LocalRank, ranks.Address, ranks.Port));
    }

    [Theory]
    [InlineData("two", "2", "29500", "RANK is 'two'")]
    [InlineData("2", "2", "29500", "rank 2 of 2")]
    [InlineData("-1", "2", "29500", "rank -1 of 2")]
    [InlineData("0", "0", "29500", "rank 0 of 0")]
    [InlineData("0", "2", "70000", "MASTER_PORT is 70000")]
    [InlineData("0", "2", "here", "MASTER_PORT is 'here'")]
    public void Values_that_make_no_sense_are_named(string rank, string size, string port, string message) => Assert.Contains(
        message, Assert.Throws<ArgumentException>(() => Read(("RANK", rank), ("WORLD_SIZE", size), ("MASTER_PORT", port))).Message, StringComparison.Ordinal);

    private static RankEnvironment? Read(params (string Name, string Value)[] variables) =>
        RankEnvironment.Read(name => variables.FirstOrDefault(variable => variable.Name == name).Value);
}
